/*
 * mutant.h: bugs within libherd, planted at link time: `ld --wrap` puts the functions of mutant.c
 * in the place of libherd's, and they do what those do unless their bug is planted.
 */
#ifndef SIM_MUTANT_H
#define SIM_MUTANT_H

#include "plant.h"

void mutant_plant(enum plant_kind kind);

#endif
