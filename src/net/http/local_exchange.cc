#include "net/http/local_exchange.h"

#include <utility>

#include "net/http/exchange.h"

namespace pelton {
namespace {

class Bell final : public HttpExchangeCarrier {
 public:
  explicit Bell(std::function<void()> written) : written_(std::move(written)) {}
  void ScheduleTake() override {
    if (written_) written_();
  }
  bool MayKeepAlive() const override { return true; }

 private:
  const std::function<void()> written_;
};

}  // namespace

LocalExchange::LocalExchange(std::string request_id, std::function<void()> written)
    : exchange_(std::make_shared<HttpExchange>(
          HttpExchange::Traits{.request_id = std::move(request_id)},
          std::make_shared<Bell>(std::move(written)), std::weak_ptr<HttpTaskQueue>())),
      response_(std::make_shared<HttpResponse>(exchange_)) {}

LocalExchange::~LocalExchange() { Leave(); }

void LocalExchange::Leave() { exchange_->Detach(); }

std::optional<HttpAnswer> LocalExchange::Take() {
  if (!exchange_->answered() || taken_) return std::nullopt;
  taken_ = true;
  std::string head, body;
  exchange_->Take(head, body);
  HttpAnswer answer{.status = exchange_->status(), .headers = {}, .body = {}};
  // Small bodies come in one buffer with the headers.
  const size_t end = head.find("\r\n\r\n");
  answer.body = end == std::string::npos ? "" : head.substr(end + 4);
  answer.body += body;
  exchange_->Detach();
  return answer;
}

}  // namespace pelton
