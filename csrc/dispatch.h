/* dispatch.h: the active instruction set. */
#ifndef DISPATCH_H
#define DISPATCH_H
#include "table.h"
const Table *active_table(int real);             /* read once per call */
#endif
