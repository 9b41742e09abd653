# herd_room(NAME ROOM SOURCES… LINKS…): one room of the house as a static library.
#
# Headers of src/ROOM are included as "ROOM/file.h". Each room's folder is reachable through a folder of its own in the
# build tree, which only targets that link the room have on their include path: a forbidden include does not compile.
function(herd_room name room)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
    set(view "${PROJECT_BINARY_DIR}/rooms/${room}")
    file(MAKE_DIRECTORY "${view}")
    file(CREATE_LINK "${PROJECT_SOURCE_DIR}/src/${room}" "${view}/${room}" SYMBOLIC)
    add_library(${name} STATIC ${ARG_SOURCES})
    target_include_directories(${name} PUBLIC "${view}")
    target_link_libraries(${name} PUBLIC ${ARG_LINKS} PRIVATE herd_flags ${ARG_PRIVATE_LINKS})
endfunction()
