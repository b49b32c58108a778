#include "serving/request/service_terms.h"

#include <gtest/gtest.h>

#include <string>

namespace pelton {
namespace {

HttpRequest With(std::string name, std::string value) {
  HttpRequest request;
  request.headers.push_back({std::move(name), std::move(value)});
  return request;
}

TEST(ServiceTerms, ComeFromHeaders) {
  EXPECT_EQ(TermsOfHeaders({})->service_class, ServiceClass::kStandard);
  EXPECT_EQ(TermsOfHeaders(With("X-Pelton-Class", "background"))->service_class,
            ServiceClass::kBackground);
  EXPECT_EQ(TermsOfHeaders(With("x-request-timeout-ms", "250"))->first_token_within_ns,
            250'000'000);
  for (const char* bad : {"0", "-1", "1.5", "x", "99999999999999999999", "86400001"}) {
    EXPECT_FALSE(TermsOfHeaders(With("X-Request-Timeout-Ms", bad)).ok()) << bad;
  }
  EXPECT_FALSE(TermsOfHeaders(With("X-Pelton-Class", "fast")).ok());
}

TEST(ServiceTerms, ComeFromFields) {
  const auto read = [](const char* text, ServiceTerms* terms) {
    const Json object = ParseJson(text).value();
    FieldReader reader(object);
    ReadTermsFields(reader, terms);
    reader.RefuseUnknown();
    return reader.ok();
  };
  const auto class_of = [&](const char* text) {
    ServiceTerms terms;
    EXPECT_TRUE(read(text, &terms)) << text;
    return terms.service_class;
  };
  EXPECT_EQ(class_of("{}"), ServiceClass::kStandard);
  EXPECT_EQ(class_of(R"({"service_tier":"default"})"), ServiceClass::kStandard);
  EXPECT_EQ(class_of(R"({"service_tier":"priority"})"), ServiceClass::kRealtime);
  EXPECT_EQ(class_of(R"({"service_tier":"flex"})"), ServiceClass::kBatch);
  EXPECT_EQ(class_of(R"({"priority":"background"})"), ServiceClass::kBackground);
  EXPECT_EQ(class_of(R"({"priority":-5})"), ServiceClass::kRealtime);
  EXPECT_EQ(class_of(R"({"priority":1})"), ServiceClass::kBatch);
  EXPECT_EQ(class_of(R"({"priority":10})"), ServiceClass::kBackground);
  ServiceTerms terms;
  EXPECT_TRUE(read(R"({"timeout":1.5})", &terms));
  EXPECT_EQ(terms.first_token_within_ns, 1'500'000'000);
  for (const char* bad : {R"({"timeout":0})", R"({"timeout":"1"})", R"({"timeout":1e300})",
                          R"({"priority":"fast"})", R"({"priority":1.5})", R"({"priority":[]})",
                          R"({"service_tier":"scale"})", R"({"service_tier":1})"}) {
    EXPECT_FALSE(read(bad, &terms)) << bad;
  }
}

}  // namespace
}  // namespace pelton
