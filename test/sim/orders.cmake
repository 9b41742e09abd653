# The total order, over random orders of arrival; `sim-orders 10000000` is the long run.
add_executable(sim-orders orders.c)
target_link_libraries(sim-orders PRIVATE herd herd_flags)
add_test(NAME sim.orders COMMAND sim-orders 200000)

# The same with a planted bug, which it has to find.
add_executable(sim-orders-mutant orders.c orders_mutant.c)
target_link_libraries(sim-orders-mutant PRIVATE herd herd_flags)
target_link_options(sim-orders-mutant PRIVATE -Wl,--wrap=herd_record_compare)
add_test(NAME sim.orders_planted COMMAND sim-orders-mutant 1000)
add_executable(sim-orders-text-mutant orders.c orders_text_mutant.c)
target_link_libraries(sim-orders-text-mutant PRIVATE herd herd_flags)
target_link_options(sim-orders-text-mutant PRIVATE -Wl,--wrap=order_by_text)
add_test(NAME sim.orders_text_planted COMMAND sim-orders-text-mutant 1000)
set_tests_properties(sim.orders_planted sim.orders_text_planted PROPERTIES WILL_FAIL ON)
set_tests_properties(sim.orders sim.orders_planted sim.orders_text_planted PROPERTIES LABELS sim TIMEOUT 600)
