#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "serving/api/query_fields.h"
#include "serving/request/chat_messages.h"
#include "serving/responses/response_fields.h"
#include "serving/responses/response_items.h"

// Any text as the body of a request for a response, or, after a "?", as the query of a list. What
// is accepted has items with ids of which messages come that templates can read, tools in the form
// of chats, and settings that go into the response; items that went in once more come out equal. A
// refusal names its field and is short.

namespace pelton {
namespace {

void Check(bool condition) {
  if (!condition) __builtin_trap();
}

void CheckItems(const ResponseFields& fields) {
  const Json& items = fields.form.items;
  Check(items.is_array() && !items.empty() && items.size() <= kMaxItems);
  Json known = Json::array();
  for (const Json& item : items) {
    Check(item["id"].is_string() && item["type"].is_string());
    if (item["type"] != "item_reference") known.push_back(item);
  }
  Json messages = MessagesOfItems(fields.instructions, known);
  Check(messages.size() <= items.size() + 1);
  const Json before = messages;
  if (messages.empty()) return;
  Check(NormalizeMessages(&messages).message.empty());
  Check(messages == before);
  // What the server lists may be sent again.
  const Json again = {{"input", items}};
  FieldReader reader(again);
  Json reread;
  ReadInputItems(reader, again["input"], &reread);
  Check(reader.ok() && reread == items);
}

void CheckFields(const ResponseFields& fields) {
  CheckItems(fields);
  if (!fields.tools.is_null()) {
    std::vector<ToolSpec> specs;
    (void)CheckTools(fields.tools, &specs);
    Check(fields.tools.size() <= fields.form.settings["tools"].size());
    for (const Json& tool : fields.tools) {
      Check(tool["type"] == "function" && tool["function"]["name"].is_string());
    }
  }
  const std::string settings = ToText(fields.form.settings);
  Check(settings.size() > 2 && settings.front() == '{');
  Check(ParseJson(settings).ok());
  Check(!fields.form.background || (fields.form.store && !fields.form.stream));
}

void RunBody(std::string_view text) {
  const Result<Json> body = ParseJson(text);
  if (!body.ok() || !body->is_object()) return;
  FieldReader reader(*body);
  ResponseFields fields;
  ReadResponseFields(reader, &fields);
  reader.RefuseUnknown();
  if (reader.ok()) return CheckFields(fields);
  Check(!reader.failed_field().empty() || body->contains(""));
  Check(!reader.status().message().empty());
  Check(reader.status().message().size() <= text.size() * 6 + 1024);
}

void RunQuery(std::string_view text) {
  QueryFields query(text);
  PageQuery page_query;
  page_query.Read(query, 100);
  std::vector<std::string> include;
  query.Strings("include", &include);
  const std::optional<ApiError> error = query.Error();
  Check(page_query.limit >= 1 && page_query.limit <= 100);
  if (error) {
    Check(!error->message.empty());
    return;
  }
  Page page;
  if (TakePage(page_query, {"a", "b", "c", "d", "e"}, &page)) return;
  Check(page.indices.size() <= std::min<size_t>(page_query.limit, 5));
  Check(!page.has_more || page.indices.size() == page_query.limit);
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.starts_with('?')) {
    pelton::RunQuery(text.substr(1));
  } else {
    pelton::RunBody(text);
  }
  return 0;
}
