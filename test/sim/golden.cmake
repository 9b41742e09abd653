# Scenarios whose traces are kept in golden/: `sim-golden test/sim/golden NAME --write` makes one anew.
add_executable(sim-golden golden.c)
target_link_libraries(sim-golden PRIVATE herd_sim herd_flags)
foreach(scenario update return plain former-life no-answer)
    add_test(NAME sim.golden.${scenario} COMMAND sim-golden "${CMAKE_CURRENT_SOURCE_DIR}/golden" ${scenario})
    set_tests_properties(sim.golden.${scenario} PROPERTIES LABELS sim TIMEOUT 60)
endforeach()
