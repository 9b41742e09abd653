# What herd-bench counts with.
herd_unit_test(bench_histogram
    SOURCES test_bench_histogram.c "${PROJECT_SOURCE_DIR}/src/tools/herd_bench_histogram.c" LINKS herd)
target_include_directories(test_bench_histogram PRIVATE "${PROJECT_SOURCE_DIR}/src/tools")
