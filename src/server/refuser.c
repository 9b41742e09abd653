#include <assert.h>

#include "server/refuser.h"

void refuser_init(struct refuser *refuser, uv_stream_t *listener, uv_connection_cb again,
                  void (*closed)(uv_stream_t *listener))
{
    *refuser = (struct refuser){.listener = listener, .again = again, .closed = closed};
}

static void on_closed(uv_handle_t *handle)
{
    struct refuser *refuser = handle->data;
    refuser->busy = false;
    if (refuser->ending) {
        refuser->closed(refuser->listener);
    } else if (refuser->waiting && !uv_is_closing((uv_handle_t *)refuser->listener)) {
        refuser->waiting = false;
        refuser->again(refuser->listener, 0);
    }
}

bool refuser_refuse(struct refuser *refuser)
{
    uv_stream_t *listener = refuser->listener;
    uv_stream_t *handle = (uv_stream_t *)&refuser->handle;
    if (refuser->busy) {
        refuser->waiting = true;
        return false;
    }
    int rc = uv_pipe_init(listener->loop, &refuser->handle, 0);
    assert(rc == 0); /* it makes no socket and allocates nothing */
    handle->data = refuser;
    refuser->busy = true;
    uv_accept(listener, handle); /* it is closed either way */
    uv_close((uv_handle_t *)handle, on_closed);
    return true;
}

void refuser_close(struct refuser *refuser)
{
    refuser->ending = true;
    if (!refuser->busy)
        refuser->closed(refuser->listener);
}
