/* What the driver takes out of the broker, one effect after the other. */
#include <stdlib.h>

#include "places/broker_room.h"

static bool next_note(struct broker *broker, struct broker_effect *out)
{
    for (enum broker_notice i = 0; i < BROKER_NOTICE_COUNT; i++) {
        if (!broker->notes[i])
            continue;
        broker->notes[i] = false;
        *out =
            (struct broker_effect){.kind = BROKER_NOTE, .notice = i, .number = broker->numbers[i]};
        return true;
    }
    return false;
}

static bool next_reservation(struct broker *broker, struct broker_effect *out)
{
    struct allowance_record record;
    if (broker->is_stopped || !allowance_wants(&broker->allowance, &record))
        return false;
    *out = (struct broker_effect){.kind = BROKER_RESERVE, .record = record};
    return true;
}

static bool next_order(struct broker *broker, struct broker_effect *out)
{
    struct broker_call *call = TAILQ_FIRST(&broker->to_call);
    if (call != NULL) {
        TAILQ_REMOVE(&broker->to_call, call, order);
        call->is_ordered = false;
        call->era = broker->era;
        *out = (struct broker_effect){.kind = BROKER_CALL, .call = call, .query = call->node.query};
        return true;
    }
    call = TAILQ_FIRST(&broker->to_cancel);
    if (call == NULL)
        return false;
    TAILQ_REMOVE(&broker->to_cancel, call, order);
    call->is_ordered = false;
    *out = (struct broker_effect){.kind = BROKER_CANCEL, .call = call};
    return true;
}

static bool next_answer(struct broker *broker, struct broker_effect *out)
{
    struct question *question = STAILQ_FIRST(&broker->answered);
    if (question == NULL)
        return false;
    STAILQ_REMOVE_HEAD(&broker->answered, answered);
    broker->question_count--;
    *out = (struct broker_effect){
        .kind = question->is_for_fallback ? BROKER_FALLBACK : BROKER_ANSWER,
        .asker = question->asker,
        .limit = question->refused_by,
        .query = question->query,
        .answer = question->answer,
        .until_ms = question->fallback_until_ms,
    };
    free(question);
    return true;
}

bool broker_effect(struct broker *broker, struct broker_effect *out)
{
    return next_note(broker, out) || next_reservation(broker, out) || next_order(broker, out) ||
           next_answer(broker, out);
}
