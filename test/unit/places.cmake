# The tests of src/places.
herd_unit_test(answer SOURCES test_answer.c LINKS herd_places PkgConfig::JANSSON)
target_link_options(test_answer PRIVATE -Wl,--wrap=realloc,--wrap=calloc)
herd_unit_test(answer_spares SOURCES test_answer_spares.c LINKS herd_places)
herd_unit_test(local_area SOURCES test_local_area.c LINKS herd_places)
herd_unit_test(local_build
    SOURCES test_local_build.c local_fixture.c
    LINKS herd_places PkgConfig::SQLITE)
herd_unit_test(local_near SOURCES test_local_near.c LINKS herd_places PkgConfig::SQLITE)
add_dependencies(test_local_near places_file)
herd_unit_test(local SOURCES test_local.c local_fixture.c LINKS herd_places herd_patience)
add_dependencies(test_local places_file)
herd_unit_test(local_vfs
    SOURCES test_local_vfs.c local_fixture.c
    LINKS herd_places PkgConfig::SQLITE)
herd_unit_test(crew SOURCES test_crew.c LINKS herd_places PkgConfig::UV)
herd_unit_test(broker SOURCES test_broker.c broker_world.c LINKS herd_places)
herd_unit_test(broker_caps SOURCES test_broker_caps.c broker_world.c LINKS herd_places)
herd_unit_test(local_memory SOURCES test_local_memory.c local_fixture.c LINKS herd_places)
add_dependencies(test_local_memory places_file)
herd_unit_test(fetch_outcome SOURCES test_fetch_outcome.c LINKS herd_places PkgConfig::CURL)
herd_unit_test(import SOURCES test_import.c LINKS herd_places PkgConfig::JANSSON)
herd_unit_test(row_sorter SOURCES test_row_sorter.c LINKS herd_places)
herd_unit_test(places SOURCES test_places.c LINKS herd_places PkgConfig::JANSSON)
target_link_options(test_places PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
add_dependencies(test_places places_file)
herd_unit_test(local_faults
    SOURCES test_local_faults.c local_fixture.c
    LINKS herd_places herd_nth_sqlite PkgConfig::SQLITE PkgConfig::UV)
target_link_options(test_local_faults PRIVATE -Wl,--wrap=open,--wrap=pread,--wrap=fstat,--wrap=fcntl)
set_tests_properties(unit.local_faults PROPERTIES LABELS "unit;oom")
