# The providers google and google-legacy, and the bridge to libcurl below them, against their stand-in.
find_program(HERD_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)

add_library(herd_standin STATIC "${PROJECT_SOURCE_DIR}/test/lib/standin.c")
target_compile_definitions(herd_standin PRIVATE
    PYTHON="${HERD_PYTHON}" PLACES_STANDIN="${PROJECT_SOURCE_DIR}/test/lib/places_standin.py")
target_link_libraries(herd_standin
    PUBLIC herd_testing
    PRIVATE herd_flags PkgConfig::CURL PkgConfig::JANSSON)

# herd_places_test(NAME RIG): the cmocka program NAME and its ctest entry net.NAME.
function(herd_places_test name rig)
    add_executable(${name} ${name}.c ${rig}.c)
    target_link_libraries(${name} PRIVATE
        herd_flags herd_standin herd_places PkgConfig::CURL PkgConfig::JANSSON PkgConfig::UV)
    add_test(NAME net.${name} COMMAND ${name})
    set_tests_properties(net.${name} PROPERTIES LABELS net TIMEOUT 600)
endfunction()

herd_places_test(fetch_calls fetch_rig)
herd_places_test(fetch_hosts fetch_rig)
herd_places_test(places_calls places_rig)
herd_places_test(places_provider places_rig)
