#pragma once

// Calls without a network: what a handler sees, and what becomes of it when it parks.

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/rpc/call.hpp"
#include "common/rpc/parked.hpp"

namespace test_support {

class FakePeer final : public common::rpc::Peer {
 public:
  [[nodiscard]] const std::string& address() const override { return address_; }
  [[nodiscard]] const std::optional<common::tls::PeerCertificate>& certificate() const override {
    return certificate_;
  }
  [[nodiscard]] common::Result<std::array<std::byte, 32>> channel_binding() const override {
    return std::array<std::byte, 32>{};
  }

 private:
  std::string address_ = "127.0.0.1";
  std::optional<common::tls::PeerCertificate> certificate_;
};

// One call; its handler may be run as often as it parks.
class FakeCall final : public common::rpc::Call {
 public:
  FakeCall(common::rpc::Peer& peer, const nlohmann::json& args, common::OperationId id,
           common::Instant deadline, std::string_view body = {})
      // As it comes from a text, where what is not negative is unsigned.
      : peer_(peer), args_(nlohmann::json::parse(args.dump())), deadline_(deadline) {
    head_.id = id;
    const auto bytes = std::as_bytes(std::span(body));
    body_.assign(bytes.begin(), bytes.end());
  }

  [[nodiscard]] const common::rpc::CallHead& head() const override { return head_; }
  [[nodiscard]] const nlohmann::json& args() const override { return args_; }
  [[nodiscard]] common::Instant deadline() const override { return deadline_; }
  [[nodiscard]] common::rpc::Peer& peer() override { return peer_; }
  [[nodiscard]] std::uint64_t body_size() const override { return body_.size(); }
  [[nodiscard]] std::span<const std::byte> body() const override { return body_; }
  [[nodiscard]] common::Result<std::size_t> read_body(std::span<std::byte> into) override {
    const std::size_t length = std::min(into.size(), body_.size() - read_);
    std::copy_n(body_.begin() + static_cast<std::ptrdiff_t>(read_), length, into.begin());
    read_ += length;
    return length;
  }
  [[nodiscard]] bool cancelled() const override { return hung_up_; }
  [[nodiscard]] common::Result<common::rpc::Reply> park(std::shared_ptr<common::rpc::Parked> state,
                                                        common::Instant) override {
    parked_ = std::move(state);
    // Who goes on finds its bytes elsewhere.
    body_ = std::vector<std::byte>(body_.begin(), body_.end());
    common::rpc::Reply reply;
    reply.parked = true;
    return reply;
  }
  [[nodiscard]] std::shared_ptr<common::rpc::Parked> parked() const override { return parked_; }

  // As long before its deadline it came.
  void came_before(std::chrono::milliseconds before) { head_.deadline = before; }
  // It is to be run again.
  [[nodiscard]] bool woken() const { return parked_ && parked_->is_woken(); }
  void hang_up() { hung_up_ = true; }
  void set_deadline(common::Instant deadline) { deadline_ = deadline; }
  // As the server does when the call has ended.
  void forget() { parked_.reset(); }

 private:
  common::rpc::Peer& peer_;
  nlohmann::json args_;
  common::Instant deadline_;
  common::rpc::CallHead head_;
  std::vector<std::byte> body_;
  std::size_t read_ = 0;
  std::shared_ptr<common::rpc::Parked> parked_;
  bool hung_up_ = false;
};

}  // namespace test_support
