#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/http/server.h"
#include "serving/api/api_error.h"
#include "serving/api/route_docs.h"

namespace pelton {

class Admission;
class RequestJournal;
class RequestTrace;
struct ServedEncoder;
struct ServedModel;
class Tenant;

// A request that a route let in, and the way to answer it. Copies share all of it.
struct ApiCall {
  std::shared_ptr<const HttpRequest> request;
  std::shared_ptr<HttpResponse> response;
  ErrorShape errors;
  std::string tail;  // of the path, where the route ends in "/*": what stands for the "*"
  // The model that the request names; it stays as long as a copy of the call does. Set for routes
  // that ask one, by their kind.
  std::shared_ptr<const ServedModel> model = nullptr;
  std::shared_ptr<const ServedEncoder> encoder = nullptr;
  // Whose key it brought; null without one that is somebody's.
  std::shared_ptr<Tenant> tenant = nullptr;
  // For whom it runs, and what it uses; set for routes with `intake`.
  std::shared_ptr<Admission> admission = nullptr;
  // Where its parts are timed; null for most.
  std::shared_ptr<RequestTrace> trace = nullptr;
  // Where answers by the engine are noted; set for routes with `intake`.
  std::shared_ptr<RequestJournal> journal = nullptr;

  void Fail(const ApiError& error) const;
};

// What a route asks of the models.
enum class RouteAsks : uint8_t { kNothing, kLanguageModel, kEncoder };

// What answers one method of one path. Routes with `intake` read a body: they run on the intake's
// threads and may take their time; the others run on a network thread and must not block.
struct Route {
  std::string method;
  std::string path;        // "/a" is that path; "/a/*" all below it, of any depth
  bool versioned = false;  // also served with "/v1" before it
  bool open = false;       // needs no key
  bool intake = false;
  RouteAsks asks = RouteAsks::kNothing;  // the model that the body's "model" names; needs intake
  bool generates = false;                // is refused before its body is read if the engine is full
  size_t max_body = 0;                   // of intake; 0: the server's own limit
  std::function<void(const ApiCall&)> answer;
  // Answers what needs no model in memory, where a route asks one; whether it did. `name` is the
  // model's. May be empty.
  std::function<bool(const ApiCall&, const std::string& name)> shortcut = nullptr;
};

// The routes of one interface and the form of its errors, which counts for its routes and for
// everything else below `root`; "" is below no root.
struct RouteSet {
  std::string root;
  ErrorShape errors = nullptr;  // null: the table's own
  std::vector<Route> routes;
  std::vector<RouteDocs> docs = {};  // of its routes, in any order
};

// Finds routes. Immutable once filled; then any thread.
class RouteTable {
 public:
  // `errors`: the form for paths of no interface.
  explicit RouteTable(ErrorShape errors) : errors_(errors) {}

  // Requires: `set.docs` is about routes of the set.
  void Add(RouteSet set);

  struct Match {
    size_t idx = 0;         // in routes()
    std::string_view tail;  // of `path`
  };
  // The route for this; HEAD is answered as GET is.
  bool Find(std::string_view method, std::string_view path, Match* match) const;
  // The methods of a path, as the header Allow states them; empty if the path has no route.
  std::string Allowed(std::string_view path) const;
  ErrorShape ErrorsOf(std::string_view path) const;

  const std::vector<Route>& routes() const { return routes_; }
  // What is said about the route of this index; null if nothing is.
  const RouteDocs* DocsOf(size_t idx) const;

 private:
  struct Root {
    std::string path;
    ErrorShape errors;
  };
  const ErrorShape errors_;
  std::vector<Route> routes_;
  std::vector<ErrorShape> route_errors_;  // as routes_
  std::vector<RouteDocs> docs_;
  std::vector<Root> roots_;
};

}  // namespace pelton
