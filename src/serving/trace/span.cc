#include "serving/trace/span.h"

#include <nlohmann/json.hpp>

namespace pelton {
namespace {

using Json = nlohmann::json;

constexpr int kKindInternal = 1;
constexpr int kKindServer = 2;
constexpr int kStatusError = 2;

Json AttributeJson(const SpanAttribute& attribute) {
  Json value;
  if (const auto* text = std::get_if<std::string>(&attribute.second)) {
    value["stringValue"] = *text;
  } else if (const auto* number = std::get_if<int64_t>(&attribute.second)) {
    value["intValue"] = std::to_string(*number);  // 64 bits are texts in protobuf's JSON
  } else {
    value["doubleValue"] = std::get<double>(attribute.second);
  }
  return {{"key", attribute.first}, {"value", std::move(value)}};
}

Json SpanJson(const Span& span) {
  Json json = {{"traceId", Hex(span.trace_id)},
               {"spanId", Hex(span.span_id)},
               {"name", span.name},
               {"kind", span.server ? kKindServer : kKindInternal},
               {"startTimeUnixNano", std::to_string(span.start_unix_ns)},
               {"endTimeUnixNano", std::to_string(span.end_unix_ns)}};
  if (span.parent_id != SpanId{}) json["parentSpanId"] = Hex(span.parent_id);
  if (span.failed) json["status"] = {{"code", kStatusError}};
  Json& attributes = json["attributes"] = Json::array();
  for (const SpanAttribute& attribute : span.attributes) {
    attributes.push_back(AttributeJson(attribute));
  }
  return json;
}

}  // namespace

std::string OtlpJson(const std::string& service, const std::string& version,
                     std::span<const Span> spans) {
  Json list = Json::array();
  for (const Span& span : spans) list.push_back(SpanJson(span));
  const Json resource = {
      {"attributes",
       {AttributeJson({"service.name", service}), AttributeJson({"service.version", version})}}};
  const Json scope = {{"name", "pelton"}, {"version", version}};
  const Json body = {
      {"resourceSpans",
       Json::array({{{"resource", resource},
                     {"scopeSpans", Json::array({{{"scope", scope}, {"spans", list}}})}}})}};
  // Paths and names come from clients and may hold anything.
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace pelton
