#include "conn_rig.h"

#include "check.h"

struct wire *conn_start(const struct herd_node_options *options)
{
    struct driver *driver = driver_new_with(options);
    struct wire *wire = driver_accept(driver);
    wire_say(wire, "IAMAT a +1+1 1700000000\n");
    wire_take(wire);
    driver->answers_places = false;
    return wire;
}

struct wire *conn_start_usual(void)
{
    struct herd_node_options options = driver_options("Hill");
    return conn_start(&options);
}

void conn_say_numbered(struct wire *wire, int first, int count)
{
    struct herd_buf text = {0};
    for (int i = first; i < first + count; i++)
        assert_int_equal(herd_buf_printf(&text, "line %d\n", i), 0);
    wire_send(wire, herd_buf_slice(&text));
    herd_buf_free(&text);
}

void conn_check_numbered(struct wire *wire, int first, int count)
{
    struct herd_buf text = {0};
    for (int i = first; i < first + count; i++)
        assert_int_equal(herd_buf_printf(&text, "? line %d\n", i), 0);
    CHECK_SLICE(("lines %d and %d more", first, count), wire_take(wire), herd_buf_slice(&text));
    herd_buf_free(&text);
}
