#include "common/ticket/scratch.hpp"

#include "common/ticket/messages.hpp"

namespace common::ticket {
namespace {

struct ThreadScratch {
  crypto::Secret memory{kMaxSealedTicket};
  bool taken = false;
};

ThreadScratch& of_this_thread() {
  thread_local ThreadScratch scratch;
  return scratch;
}

}  // namespace

Scratch::Scratch(std::size_t size) {
  ThreadScratch& shared = of_this_thread();
  shared_ = !shared.taken && size <= shared.memory.size();
  if (shared_) {
    shared.taken = true;
    bytes_ = shared.memory.writable().first(size);
  } else {
    own_ = crypto::Secret(size);
    bytes_ = own_.writable();
  }
}

Scratch::~Scratch() {
  crypto::wipe(bytes_);
  if (shared_)
    of_this_thread().taken = false;
}

}  // namespace common::ticket
