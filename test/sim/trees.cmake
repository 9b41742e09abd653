# Large herds with pruning against the same with plain flooding.
add_executable(sim-trees trees.c)
target_link_libraries(sim-trees PRIVATE herd_sim herd_flags)

# The same, with functions of libherd replaced by those of mutant.c.
add_executable(sim-trees-mutants trees.c mutant.c)
target_compile_definitions(sim-trees-mutants PRIVATE SIM_MUTANTS)
target_link_libraries(sim-trees-mutants PRIVATE herd_sim herd_flags)
target_link_options(sim-trees-mutants PRIVATE ${HERD_SIM_WRAPS})

add_test(NAME sim.trees.random_100 COMMAND sim-trees)
add_test(NAME sim.trees.chords_100 COMMAND sim-trees --chords --seed 2)
add_test(NAME sim.trees.crash_at_once_100 COMMAND sim-trees --seed 3 --after 0)
add_test(NAME sim.trees.random_500 COMMAND sim-trees --servers 500 --origins 4 --updates 2 --busy 100)
add_test(NAME sim.plant.mutant-no-graft COMMAND sim-trees-mutants --plant mutant-no-graft --expect)
set_tests_properties(sim.trees.random_100 sim.trees.chords_100 sim.trees.crash_at_once_100 sim.trees.random_500
    sim.plant.mutant-no-graft PROPERTIES LABELS sim TIMEOUT 600)
