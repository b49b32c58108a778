#pragma once

#include <string>

namespace pelton::grammar {

// Collects what XGrammar warns of on this thread while it lives; without one, warnings are dropped.
// XGrammar warns where it ignores a part of its input.
class WarningCollector {
 public:
  WarningCollector();
  ~WarningCollector();
  WarningCollector(const WarningCollector&) = delete;
  WarningCollector& operator=(const WarningCollector&) = delete;

  const std::string& first() const { return first_; }
  void Add(const std::string& message) {
    if (first_.empty()) first_ = message;
  }

 private:
  std::string first_;
};

}  // namespace pelton::grammar
