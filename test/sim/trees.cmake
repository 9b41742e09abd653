# Large herds with pruning against the same with plain flooding.
add_executable(sim-trees trees.c)
target_link_libraries(sim-trees PRIVATE herd_sim herd_flags)
