#pragma once

#include "serving/api/route.h"
#include "serving/journal/request_journal.h"

namespace pelton {

// GET /debug/requests?limit=N: what the caller's key asked for lately, N of 1 to 512, else 100.
// Borrows the journal.
RouteSet JournalRoutes(const RequestJournal& journal);

}  // namespace pelton
