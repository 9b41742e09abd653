# herd-bench: the load generator. It runs no loop of libuv: what it spends is taken from what it can measure.
add_executable(herd-bench
    herd_bench.c
    herd_bench_crowd.c
    herd_bench_histogram.c
    herd_bench_load.c
    herd_bench_places.c
    herd_bench_print.c
    herd_bench_process.c
    herd_bench_speech.c
    herd_bench_watch.c
    json_print.c)
target_compile_definitions(herd-bench PRIVATE HERD_VERSION="${PROJECT_VERSION}")
target_link_libraries(herd-bench PRIVATE herd_places PkgConfig::JANSSON herd_flags)
install(TARGETS herd-bench RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
