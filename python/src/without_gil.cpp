// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "binding.hpp"

namespace lamella::python {
namespace {

constexpr std::chrono::milliseconds kBetweenLooks{20};

std::atomic<std::int64_t> helpers{0};

bool is_main_thread() {
  const nb::module_ threading = nb::module_::import_("threading");
  return threading.attr("current_thread")().is(threading.attr("main_thread")());
}

/// Runs work on a thread of its own; the destructor joins it.
class Helper {
 public:
  explicit Helper(const std::function<void(const std::stop_token&)>& work)
      : thread_([this, &work] {
          try {
            work(stop_.get_token());
          } catch (...) {
            failure_ = std::current_exception();
          }
          const std::lock_guard lock(mutex_);
          done_ = true;
          changed_.notify_one();
        }) {}
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;
  ~Helper() {
    if (thread_.joinable()) thread_.join();
  }

  /// True when the work is done.
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kBetweenLooks, [this] { return done_; });
  }
  void stop() { stop_.request_stop(); }
  void finish() {
    thread_.join();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  std::exception_ptr failure_;
  std::stop_source stop_;
  std::thread thread_;  // last: it uses the others
};

}  // namespace

std::int64_t helpers_made() noexcept { return helpers; }

void interruptible(const std::function<void(const std::stop_token&)>& work) {
  if (!is_main_thread()) {
    const nb::gil_scoped_release released;
    work({});
    return;
  }
  std::optional<Helper> helper;
  try {
    helper.emplace(work);
    ++helpers;
  } catch (const std::system_error&) {  // no more threads can be created
    const nb::gil_scoped_release released;
    work({});
    return;
  }
  for (bool done = false; !done;) {
    {
      const nb::gil_scoped_release released;
      done = helper->wait();
    }
    if (PyErr_CheckSignals() != 0) {
      nb::python_error interrupted;  // takes it from the interpreter
      helper->stop();
      {
        const nb::gil_scoped_release released;
        helper.reset();
      }
      throw interrupted;
    }
  }
  helper->finish();
}

}  // namespace lamella::python
