# Manual pages: each is NAME.SECTION.in with what the program itself says at --help.
find_program(GZIP gzip REQUIRED)

set(man_pages herd-server.8 herdctl.1 herd-places.1 herd-bench.1)
set(man_files "")
foreach(page ${man_pages})
    string(REGEX REPLACE "\\.(.)$" ";\\1" parts "${page}")
    list(GET parts 0 program)
    list(GET parts 1 section)
    set(in "${CMAKE_CURRENT_SOURCE_DIR}/man/${page}.in")
    set(out "${CMAKE_CURRENT_BINARY_DIR}/${page}.gz")
    add_custom_command(
        OUTPUT "${out}"
        COMMAND "${CMAKE_COMMAND}" "-DPROGRAM=$<TARGET_FILE:${program}>" "-DIN=${in}" "-DOUT=${out}"
            "-DGZIP=${GZIP}" "-DVERSION=${PROJECT_VERSION}" "-DDOCDIR=${CMAKE_INSTALL_DOCDIR}"
            -P "${CMAKE_CURRENT_SOURCE_DIR}/man_page.cmake"
        DEPENDS ${program} "${in}" "${CMAKE_CURRENT_SOURCE_DIR}/man_page.cmake"
        COMMENT "Making ${page}"
        VERBATIM)
    install(FILES "${out}" DESTINATION "${CMAKE_INSTALL_MANDIR}/man${section}")
    list(APPEND man_files "${out}")
endforeach()
add_custom_target(man_pages ALL DEPENDS ${man_files})
