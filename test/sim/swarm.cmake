# Swarms of seeds, the same run twice, and for each planted bug a swarm that has to find it.
foreach(seeds 1..250 251..500 501..750 751..1000)
    add_test(NAME sim.swarm.${seeds} COMMAND sim-swarm --seeds ${seeds} --fired)
    set_tests_properties(sim.swarm.${seeds} PROPERTIES LABELS sim TIMEOUT 600)
endforeach()
add_test(NAME sim.replay_is_identical COMMAND sim-swarm --seeds 1..60 --twice)

# The same faults with pruning, which is meant for larger herds.
foreach(seeds 1..250 251..500)
    add_test(NAME sim.swarm.prune.${seeds} COMMAND sim-swarm --seeds ${seeds} --fired --prune)
    set_tests_properties(sim.swarm.prune.${seeds} PROPERTIES LABELS sim TIMEOUT 600)
endforeach()
add_test(NAME sim.replay_is_identical_with_pruning COMMAND sim-swarm --seeds 1..60 --twice --prune)

function(herd_sim_plant bug)
    add_test(NAME sim.plant.${bug} COMMAND sim-mutants --seeds 1..300 --plant ${bug} --expect ${ARGN})
    set_tests_properties(sim.plant.${bug} PROPERTIES LABELS sim TIMEOUT 600)
endfunction()

foreach(bug spoil-time forget-close no-tick amnesia answer-twice answer-swap
        other-places other-at mutant-last-wins mutant-no-ties mutant-no-source)
    herd_sim_plant(${bug})
endforeach()
# Others that it would find first, or loads that it takes to show.
herd_sim_plant(all-amnesia --checks lost)
foreach(bug lose-flood mutant-no-catch-up mutant-one-source)
    herd_sim_plant(${bug} --checks equal)
endforeach()
herd_sim_plant(mutant-echo --checks quiet)
herd_sim_plant(early-wrote --checks window --fat 100 --clients 500 --updates 200 --plain 0)
herd_sim_plant(no-limit --checks growth --fat 100 --updates 300)

herd_sim_plant(mutant-full-mark --prune)
herd_sim_plant(mutant-no-have --prune)

# What sequences hide, digests mend: a RESUME that claims too much does no harm.
add_test(NAME sim.mended COMMAND sim-swarm --seeds 1..300 --plant high-resume)
set_tests_properties(sim.mended sim.replay_is_identical sim.replay_is_identical_with_pruning
    PROPERTIES LABELS sim TIMEOUT 600)
