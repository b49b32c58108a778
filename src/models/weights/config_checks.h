#pragma once

// What the tests of configurations and model files share.

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "models/weights/model_config.h"

namespace pelton::test {

inline void ExpectContains(const std::string& text, std::string_view part) {
  EXPECT_NE(text.find(part), std::string::npos) << text << "\nlacks: " << part;
}

inline ModelConfig Accept(const std::string& text) {
  auto config = ConfigFromJson(text, "config.json");
  EXPECT_TRUE(config.ok()) << config.status().message() << "\n" << text;
  return config.ok() ? std::move(config).value() : ModelConfig{};
}

// The message of a config.json that must be refused with `code`.
inline std::string Refuse(const std::string& text, StatusCode code = StatusCode::kDataLoss) {
  const auto config = ConfigFromJson(text, "config.json");
  EXPECT_FALSE(config.ok()) << text;
  if (config.ok()) return "accepted";
  EXPECT_EQ(config.status().code(), code) << config.status().message();
  EXPECT_EQ(config.status().message().rfind("config.json: ", 0), 0u);
  return config.status().message();
}

}  // namespace pelton::test
