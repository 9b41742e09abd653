# Large herds with pruning against the same with plain flooding.
add_executable(sim-trees trees.c trees_setting.c)
target_link_libraries(sim-trees PRIVATE herd_sim herd_flags)

# The same, with functions of libherd replaced by those of mutant.c.
add_executable(sim-trees-mutants trees.c trees_setting.c mutant.c)
target_compile_definitions(sim-trees-mutants PRIVATE SIM_MUTANTS)
target_link_libraries(sim-trees-mutants PRIVATE herd_sim herd_flags)
target_link_options(sim-trees-mutants PRIVATE ${HERD_SIM_WRAPS})

add_test(NAME sim.trees.random_100 COMMAND sim-trees)
add_test(NAME sim.trees.chords_100 COMMAND sim-trees --chords --seed 2)
add_test(NAME sim.trees.crash_at_once_100 COMMAND sim-trees --seed 3 --after 0)
add_test(NAME sim.trees.random_500 COMMAND sim-trees --servers 500 --origins 4 --updates 2 --busy 100)
# An hour, in which links are tried again, and what that costs, by the number of updates; a busy phase when all are due.
add_test(NAME sim.trees.hour_every_20_s COMMAND sim-trees --seed 2 --origins 2 --updates 180 --every 20 --busy 100)
add_test(NAME sim.trees.hour_every_60_s COMMAND sim-trees --seed 2 --origins 2 --updates 60 --every 60 --busy 100)
add_test(NAME sim.trees.busy_when_due_100 COMMAND sim-trees --seed 29 --origins 2 --updates 40 --every 5 --busy 200)
# Those that crashed are there again: as fast as a flood from the first update on, and a tree from the second.
add_test(NAME sim.trees.back_100 COMMAND sim-trees --seed 25 --origins 4 --updates 1 --busy 20 --back 2)
add_test(NAME sim.trees.back_30_of_100 COMMAND sim-trees --origins 3 --updates 3 --busy 1 --crash 30 --back 3)
# Updates that are not everywhere in time are none that a ratio could leave out.
add_test(NAME sim.trees.too_far COMMAND sim-trees --servers 20 --origins 2 --updates 1 --busy 5 --near 900 --far 900)
set_tests_properties(sim.trees.too_far PROPERTIES PASS_REGULAR_EXPRESSION "by V-1 +none.*MISSED.*many at once +none.*flooding's +none")
add_test(NAME sim.plant.mutant-no-graft COMMAND sim-trees-mutants --plant mutant-no-graft --expect)
add_test(NAME sim.plant.mutant-no-trial COMMAND sim-trees-mutants --plant mutant-no-trial --expect
    --seed 25 --busy 1 --updates 1 --origins 4 --crash 30 --back 2)
set_tests_properties(sim.trees.random_100 sim.trees.chords_100 sim.trees.crash_at_once_100 sim.trees.random_500
    sim.trees.hour_every_20_s sim.trees.hour_every_60_s sim.trees.busy_when_due_100 sim.trees.back_100
    sim.trees.back_30_of_100 sim.trees.too_far
    sim.plant.mutant-no-graft sim.plant.mutant-no-trial PROPERTIES LABELS sim TIMEOUT 600)
