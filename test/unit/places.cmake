# The tests of src/places.
herd_unit_test(answer SOURCES test_answer.c LINKS herd_places PkgConfig::JANSSON)
target_link_options(test_answer PRIVATE -Wl,--wrap=realloc,--wrap=calloc)
