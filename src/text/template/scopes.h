#pragma once

#include "base/status.h"
#include "text/template/ast.h"

namespace pelton::jinja {

// Finds out where every variable of the program lives: fills the frame layouts and the slots of its
// tree. Also reports what only this walk can see: unknown filters and tests, and break or continue
// outside a loop. Fails with the syntax error in `error`.
// Source: Jinja2 idtracking.py and the frames of compiler.py; the results are the same.
Status ResolveScopes(Program& program, TemplateError& error);

}  // namespace pelton::jinja
