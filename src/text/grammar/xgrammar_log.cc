#include "text/grammar/xgrammar_log.h"

#include <stdexcept>

namespace pelton::grammar {
namespace {

thread_local WarningCollector* collector = nullptr;

}  // namespace

WarningCollector::WarningCollector() { collector = this; }
WarningCollector::~WarningCollector() { collector = nullptr; }

}  // namespace pelton::grammar

// What XGrammar calls instead of writing to stderr, since it is built with XGRAMMAR_LOG_CUSTOMIZE.
namespace xgrammar {

[[noreturn]] void LogFatalImpl(const std::string& file, int line, const std::string& message);
void LogMessageImpl(const std::string& file, int line, int level, const std::string& message);

void LogFatalImpl(const std::string&, int, const std::string& message) {
  throw std::runtime_error(message);  // grammar.cc stops it
}

void LogMessageImpl(const std::string&, int, int level, const std::string& message) {
  constexpr int kWarning = 2;
  if (level >= kWarning && pelton::grammar::collector != nullptr) {
    pelton::grammar::collector->Add(message);
  }
}

}  // namespace xgrammar
