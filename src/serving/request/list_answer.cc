#include "serving/request/list_answer.h"

#include <string>
#include <utility>

namespace pelton {

void AnswerList(const ApiCall& call, const PageQuery& query, std::vector<Json> objects) {
  std::vector<std::string> ids;
  ids.reserve(objects.size());
  for (const Json& object : objects) ids.push_back(object["id"].get<std::string>());
  Page page;
  if (const auto error = TakePage(query, ids, &page)) return call.Fail(*error);
  Json data = Json::array();
  for (const size_t idx : page.indices) data.push_back(std::move(objects[idx]));
  const bool empty = page.indices.empty();
  SendJson(*call.response, ToText({{"object", "list"},
                                   {"data", std::move(data)},
                                   {"first_id", empty ? Json() : Json(ids[page.indices.front()])},
                                   {"last_id", empty ? Json() : Json(ids[page.indices.back()])},
                                   {"has_more", page.has_more}}));
}

}  // namespace pelton
