# The tests of src/places.
add_executable(test_answer test_answer.c)
target_link_libraries(test_answer PRIVATE herd_places herd_flags PkgConfig::CMOCKA PkgConfig::JANSSON)
add_test(NAME unit.answer COMMAND test_answer)
set_tests_properties(unit.answer PROPERTIES LABELS unit)
