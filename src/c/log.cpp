// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include <lamella/log.hpp>

#include "c/boundary.hpp"

lamella_error* lamella_set_log_function(lamella_log_function function, void* user, void (*free_user)(void* user)) {
  return lamella::c::guarded([&] {
    if (function == nullptr) return lamella::set_log_function({});
    static_assert(static_cast<int>(lamella::LogLevel::info) == LAMELLA_LOG_INFO &&
                  static_cast<int>(lamella::LogLevel::warning) == LAMELLA_LOG_WARNING);
    struct User {
      void* what;
      void (*release)(void*) = nullptr;  // set once nothing can fail any more
      ~User() {
        if (release != nullptr) release(what);
      }
    };
    const auto owned = std::make_shared<User>(User{user});
    lamella::set_log_function([function, owned](lamella::LogLevel level, std::string_view message) {
      function(static_cast<std::int32_t>(level), std::string(message).c_str(), owned->what);
    });
    owned->release = free_user;
  });
}
