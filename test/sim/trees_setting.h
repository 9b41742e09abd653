#ifndef SIM_TREES_SETTING_H
#define SIM_TREES_SETTING_H

#include "plant.h"

/* What the herd is, from the command line. */
struct setting {
    uint32_t servers, origins, updates, busy, back;
    double every_s;
    bool chords;
    uint64_t seed;
    double near_ms, far_ms, jitter_ms;
    uint32_t crash_percent;
    bool dark;
    double after_ms; /* from the crash to the first update */
    enum plant_kind plant;
    bool expect, json;
};

/* Ends the program at --help, and with 2 at a mistake. */
void setting_parse(struct setting *setting, int argc, char **argv);

#endif
