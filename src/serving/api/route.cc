#include "serving/api/route.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"

namespace pelton {
namespace {

// What stands for the "*" of the route's path; nothing if the path is not the route's.
std::optional<std::string_view> TailOf(const Route& route, std::string_view path) {
  const std::string_view pattern = route.path;
  const auto match = [&](std::string_view candidate) -> std::optional<std::string_view> {
    if (!pattern.ends_with("/*")) {
      return candidate == pattern ? std::optional(std::string_view()) : std::nullopt;
    }
    const std::string_view folder = pattern.substr(0, pattern.size() - 1);
    if (!candidate.starts_with(folder) || candidate.size() == folder.size()) return std::nullopt;
    return candidate.substr(folder.size());
  };
  if (const auto tail = match(path)) return tail;
  if (!route.versioned || !path.starts_with("/v1/")) return std::nullopt;
  return match(path.substr(3));
}

}  // namespace

void ApiCall::Fail(const ApiError& error) const {
  HttpAnswer answer = ErrorAnswer(error, errors);
  response->Send(answer.status, answer.headers, std::move(answer.body));
}

void RouteTable::Add(RouteSet set) {
  if (set.errors == nullptr) set.errors = errors_;
  for (RouteDocs& docs : set.docs) {
    PELTON_CHECK(std::ranges::any_of(set.routes,
                                     [&](const Route& route) {
                                       return route.method == docs.method &&
                                              route.path == docs.path;
                                     }),
                 "what is described is a route");
    docs_.push_back(std::move(docs));
  }
  for (Route& route : set.routes) {
    routes_.push_back(std::move(route));
    route_errors_.push_back(set.errors);
  }
  if (!set.root.empty()) roots_.push_back({std::move(set.root), set.errors});
}

const RouteDocs* RouteTable::DocsOf(size_t idx) const {
  for (const RouteDocs& docs : docs_) {
    if (docs.method == routes_[idx].method && docs.path == routes_[idx].path) return &docs;
  }
  return nullptr;
}

bool RouteTable::Find(std::string_view method, std::string_view path, Match* match) const {
  if (method == "HEAD") method = "GET";
  for (size_t i = 0; i < routes_.size(); ++i) {
    if (routes_[i].method != method) continue;
    if (const auto tail = TailOf(routes_[i], path)) {
      *match = {i, *tail};
      return true;
    }
  }
  return false;
}

std::string RouteTable::Allowed(std::string_view path) const {
  std::string methods;
  for (const char* method : {"GET", "POST", "DELETE"}) {
    Match match;
    if (Find(method, path, &match)) methods += (methods.empty() ? "" : ", ") + std::string(method);
  }
  return methods;
}

ErrorShape RouteTable::ErrorsOf(std::string_view path) const {
  for (size_t i = 0; i < routes_.size(); ++i) {
    if (TailOf(routes_[i], path)) return route_errors_[i];
  }
  for (const Root& root : roots_) {
    if (path.starts_with(root.path)) return root.errors;
  }
  return errors_;
}

}  // namespace pelton
