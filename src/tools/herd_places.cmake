# herd-places, and with it the data set that herd comes with: places.db.
add_executable(herd-places
    herd_places.c
    herd_places_import.c
    herd_places_near.c)
target_link_libraries(herd-places PRIVATE herd_flags herd_places PkgConfig::JANSSON)
target_compile_definitions(herd-places PRIVATE HERD_VERSION="${PROJECT_VERSION}")

set(places_tables
    "${PROJECT_SOURCE_DIR}/share/places-geonames.tsv.gz"
    "${PROJECT_SOURCE_DIR}/share/places-ourairports.tsv.gz")
set(places_file "${PROJECT_BINARY_DIR}/share/herd/places.db")
add_custom_command(
    OUTPUT "${places_file}"
    COMMAND "${CMAKE_COMMAND}" -E make_directory "${PROJECT_BINARY_DIR}/share/herd"
    COMMAND herd-places build --out "${places_file}" ${places_tables}
    DEPENDS herd-places ${places_tables}
    COMMENT "Making share/herd/places.db"
    VERBATIM)
add_custom_target(places_file ALL DEPENDS "${places_file}")

install(TARGETS herd-places RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES "${places_file}" DESTINATION "${CMAKE_INSTALL_DATADIR}/herd")
install(FILES
    "${PROJECT_SOURCE_DIR}/share/places-geonames.LICENSE"
    "${PROJECT_SOURCE_DIR}/share/places-geonames.md"
    "${PROJECT_SOURCE_DIR}/share/places-ourairports.LICENSE"
    "${PROJECT_SOURCE_DIR}/share/places-ourairports.md"
    DESTINATION "${CMAKE_INSTALL_DOCDIR}/share")
