#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace pelton {

// A field of a request's body, for /openapi.json. All texts are literals, which outlive everything.
struct FieldDocs {
  std::string_view name;
  // A JSON schema of its values, as JSON. Never narrower than what its reader takes: null, which
  // every reader takes for an absent field, is added unless the field is required.
  std::string_view schema;
  std::string_view says = "";
  bool required = false;
};

// What /openapi.json says about a route beyond what its Route does.
struct RouteDocs {
  std::string_view method;
  std::string_view path;  // as in Route
  std::string_view summary;
  // Tables of the body's fields, none twice. No other field is taken.
  std::vector<std::span<const FieldDocs>> body = {};
  std::string_view body_media = "application/json";
  std::string_view answer = "{}";               // JSON schema of the body of status 200, as JSON
  std::string_view media = "application/json";  // of status 200
  std::string_view events = "";                 // media type of a streamed answer; empty: none
  std::span<const FieldDocs> query = {};        // parameters of the query
};

}  // namespace pelton
