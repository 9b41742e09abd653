# Swarms of seeds, the same run twice, and for each planted bug a swarm that has to find it.
# (Five hundred: in half as many the rarest fault, disk-exchange, may not come about.)
foreach(seeds 1..500 501..1000)
    add_test(NAME sim.swarm.${seeds} COMMAND sim-swarm --seeds ${seeds} --fired)
    set_tests_properties(sim.swarm.${seeds} PROPERTIES LABELS sim TIMEOUT 600)
endforeach()
add_test(NAME sim.replay_is_identical COMMAND sim-swarm --seeds 1..60 --twice)

# The same faults with pruning, which is meant for larger herds.
foreach(seeds 1..250 251..500)
    add_test(NAME sim.swarm.prune.${seeds} COMMAND sim-swarm --seeds ${seeds} --prune)
    set_tests_properties(sim.swarm.prune.${seeds} PROPERTIES LABELS sim TIMEOUT 600)
endforeach()
# And herds that prune by themselves.
add_test(NAME sim.swarm.large COMMAND sim-swarm --seeds 1..60 --prune --servers 24 --graph random)
add_test(NAME sim.swarm.large.all_faults COMMAND sim-swarm --seeds 1..30 --prune --servers 24 --graph random --faults all)
set_tests_properties(sim.swarm.large sim.swarm.large.all_faults PROPERTIES LABELS sim TIMEOUT 600)
add_test(NAME sim.replay_is_identical_with_pruning COMMAND sim-swarm --seeds 1..60 --twice --prune)

function(herd_sim_plant bug)
    add_test(NAME sim.plant.${bug} COMMAND sim-mutants --seeds 1..300 --plant ${bug} --expect ${ARGN})
    set_tests_properties(sim.plant.${bug} PROPERTIES LABELS sim TIMEOUT 600)
endfunction()

foreach(bug spoil-time forget-close amnesia answer-twice answer-swap
        other-places mutant-last-wins mutant-no-ties mutant-no-source)
    herd_sim_plant(${bug})
endforeach()
# Others that it would find first, or loads that it takes to show.
herd_sim_plant(all-amnesia --checks lost)
herd_sim_plant(lose-flood --checks equal)
herd_sim_plant(no-tick --checks live)
herd_sim_plant(other-at --checks same)
herd_sim_plant(mutant-no-catch-up --checks equal)
herd_sim_plant(mutant-one-source --checks equal)
herd_sim_plant(mutant-echo --checks quiet)
herd_sim_plant(early-wrote --checks window --fat 100 --clients 500 --updates 200 --plain 0)
herd_sim_plant(no-limit --checks growth --fat 100 --updates 300)

herd_sim_plant(mutant-full-mark --prune)
herd_sim_plant(mutant-no-have --prune)

# Weather is no fault: answers come as soon as ever. An ACK that waits for lines that never come, because a line that is not
# marked has come in the same read as a MARK, keeps an IAMAT waiting on an idle link.
set(weather --durability herd --plain 0 --faults join,split)
add_test(NAME sim.weather COMMAND sim-swarm --seeds 1..300 ${weather} --fired)
add_test(NAME sim.weather_replay_is_identical COMMAND sim-swarm --seeds 1..40 ${weather} --twice)
set_tests_properties(sim.weather sim.weather_replay_is_identical PROPERTIES LABELS sim TIMEOUT 600)
herd_sim_plant(mutant-late-ack ${weather} --servers 2 --updates 20)

# Disks.
herd_sim_plant(disk-lies)
herd_sim_plant(lazy-disk --durability interval)
herd_sim_plant(mutant-early-ack --durability commit)
herd_sim_plant(mutant-no-wait --durability commit)
herd_sim_plant(early-ack)

# Batches that are cut short, as those of 16,384 records are in a large herd.
herd_sim_plant(mutant-cut-is-safe --durability commit --batch 3)
herd_sim_plant(mutant-no-follow --durability commit --batch 3)
add_test(NAME sim.cut_short_answers COMMAND sim-swarm --seeds 1..100 --durability commit --batch 3)
# More said than the disks take.
set(behind --durability interval --plain 0 --batch 3 --updates 1000 --faults crash,torn)
foreach(seeds 1..200 201..400 401..600)
    add_test(NAME sim.behind.${seeds} COMMAND sim-swarm --seeds ${seeds} ${behind} --fired)
    set_tests_properties(sim.behind.${seeds} PROPERTIES LABELS sim TIMEOUT 600)
endforeach()
set_tests_properties(sim.cut_short_answers PROPERTIES LABELS sim TIMEOUT 600)
herd_sim_plant(mutant-no-pace ${behind})
herd_sim_plant(mutant-no-go ${behind})
set(cut_short --durability interval --lose-digests --plain 0 --batch 3 --faults crash,torn)
add_test(NAME sim.cut_short COMMAND sim-swarm --seeds 1..100 ${cut_short} --fired)
set_tests_properties(sim.cut_short PROPERTIES LABELS sim TIMEOUT 600)
herd_sim_plant(mutant-cut-marks ${cut_short})
# And so many updates that the journal is worth a snapshot, which takes many of them; not more than such batches can write
# in time, also where a neighbour has all to send.
set(snapshots --durability commit --plain 0 --batch 6 --clients 1000 --updates 50 --faults crash,torn)
add_test(NAME sim.snapshots COMMAND sim-swarm --seeds 1..100 ${snapshots} --fired)
set_tests_properties(sim.snapshots PROPERTIES LABELS sim TIMEOUT 600)
herd_sim_plant(mutant-short-snapshot ${snapshots})
# So long lines that a window is full before all is said.
herd_sim_plant(mutant-clean-mark --durability herd --plain 0 --ttl 0 --servers 2 --graph line --fat 100
    --clients 1000 --updates 3000 --seconds 10 --faults cut,stall)

# A neighbour that is removed and comes back while its old link hangs.
add_test(NAME sim.edges COMMAND sim-swarm --seeds 1..150 --durability interval --plain 0 --faults edge,dark,half-break --fired)
set_tests_properties(sim.edges PROPERTIES LABELS sim TIMEOUT 600)

# Read your writes, and records that end. A million reads: --seeds 1..210 --reads 1000000.
add_test(NAME sim.reads COMMAND sim-swarm --seeds 1..28 --tidy --servers 5 --plain 0 --updates 100 --minutes 2
    --roam 100 --faults cut,cut-one-way,island,stall,break --reads 100000)
set_tests_properties(sim.reads PROPERTIES LABELS sim TIMEOUT 600)
herd_sim_plant(mutant-no-after --checks stale)
herd_sim_plant(mutant-old-after --checks stale)
herd_sim_plant(mutant-stale-digest)

add_test(NAME sim.swarm.ttl COMMAND sim-swarm --seeds 1..300 --ttl 25 --plain 0)

# Records that end, and clocks so wrong that they end at once, or not at all.
set(wrong_clock --ttl 25 --plain 0 --durability herd)
set(refused ${wrong_clock} --faults crash,year,break,half-break,cut,torn,dark)
set(restarted ${wrong_clock} --servers 2 --clients 10 --updates 60 --late --faults crash,year)
add_test(NAME sim.wrong_clock COMMAND sim-swarm --seeds 1..200 ${refused})
add_test(NAME sim.wrong_clock_and_restart COMMAND sim-swarm --seeds 1..1000 ${restarted})
set_tests_properties(sim.swarm.ttl sim.wrong_clock sim.wrong_clock_and_restart PROPERTIES LABELS sim TIMEOUT 600)
herd_sim_plant(mutant-no-ended ${refused})
herd_sim_plant(mutant-ended-safe ${restarted})
herd_sim_plant(mutant-not-let-go ${restarted})
herd_sim_plant(mutant-no-doubt ${restarted})

# Memory.
herd_sim_plant(mutant-ignore-shortage --faults starve)
herd_sim_plant(mutant-leak)

# Without digests sequences have to do, also with an old disk, the same one twice, and with a disk that was there before
# (docs/decisions/0009-lives.md). Bugs that digests would mend show here.
set(in_sequence --lose-digests --plain 0 --faults
    crash,dark,stop,stall,cut,cut-one-way,island,break,half-break,hole,edge,clock,slow,replay,torn,disk-loss,old-disk,disk-full,disk-slow,old-copy,copy-restart,disk-exchange)
add_test(NAME sim.sequences_alone COMMAND sim-swarm --seeds 1..150 ${in_sequence})
herd_sim_plant(high-resume ${in_sequence} --checks equal)
set(copies --lose-digests --plain 0 --durability interval --faults old-copy,copy-restart,disk-exchange)
add_test(NAME sim.copies COMMAND sim-swarm --seeds 1..300 ${copies} --fired)
herd_sim_plant(mutant-no-life --lose-digests --plain 0 --durability interval --faults old-copy)
herd_sim_plant(mutant-no-ancestry --lose-digests --plain 0 --durability interval --faults copy-restart)
herd_sim_plant(mutant-stale-run --lose-digests --plain 0 --checks equal)
herd_sim_plant(no-recovered ${in_sequence})
herd_sim_plant(high-mark ${in_sequence} --checks equal)

# What a server said last comes when it is there again.
set(late --late --lose-digests --plain 0 --durability interval --graph line --clients 2000 --updates 60 --seconds 30
    --faults crash,torn,slow,stall)
add_test(NAME sim.late COMMAND sim-swarm --seeds 1..60 ${late})
herd_sim_plant(mutant-late ${late} --checks equal)

herd_sim_plant(torn-batch --lose-digests --plain 0 --faults torn --clients 2000 --updates 60 --durability interval)

# What sequences hide, digests mend: a RESUME that claims too much does no harm.
add_test(NAME sim.mended COMMAND sim-swarm --seeds 1..300 --plant high-resume --durability interval)
set_tests_properties(sim.mended sim.replay_is_identical sim.replay_is_identical_with_pruning sim.sequences_alone sim.copies sim.late
    PROPERTIES LABELS sim TIMEOUT 600)
