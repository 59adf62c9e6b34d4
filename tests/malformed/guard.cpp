// SPDX-License-Identifier: Apache-2.0
#include "malformed/guard.hpp"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace lamella::malformed {
namespace {

constexpr unsigned kOurs = 0x1A3E11A;  // the sixth argument of the guard's own openat()
std::array<char, 4096> allowed{};
std::atomic<int> forbidden{0};

/// Handles a call that the filter stopped: opens the one allowed file on the caller's behalf, and counts all other calls.
void on_stopped_call(int, siginfo_t* info, void* context) {
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const auto argument = [&](int i) { return registers[i]; };
  const bool at = info->si_syscall == SYS_openat;
  const auto* path = reinterpret_cast<const char*>(argument(at ? REG_RSI : REG_RDI));
  const auto flags = argument(at ? REG_RDX : REG_RSI);
  if ((at || info->si_syscall == SYS_open) && (flags & O_ACCMODE) == O_RDONLY && std::strcmp(path, allowed.data()) == 0) {
    const long file = ::syscall(SYS_openat, AT_FDCWD, path, flags, 0, 0, kOurs);
    registers[REG_RAX] = file < 0 ? -errno : file;
    return;
  }
  ++forbidden;
  registers[REG_RAX] = -EACCES;
}

constexpr std::array<int, 24> kForbidden{SYS_open,     SYS_creat,     SYS_openat2, SYS_execve,   SYS_execveat, SYS_fork,
                                         SYS_vfork,    SYS_socket,    SYS_connect, SYS_unlink,   SYS_unlinkat, SYS_rename,
                                         SYS_renameat, SYS_renameat2, SYS_mkdir,   SYS_mkdirat,  SYS_link,     SYS_linkat,
                                         SYS_symlink,  SYS_symlinkat, SYS_ptrace,  SYS_truncate, SYS_chmod,    SYS_kill};

sock_filter statement(int code, std::size_t value) { return {static_cast<__u16>(code), 0, 0, static_cast<__u32>(value)}; }
sock_filter jump(int code, std::size_t value, int yes, int no) {
  return {static_cast<__u16>(code), static_cast<__u8>(yes), static_cast<__u8>(no), static_cast<__u32>(value)};
}

}  // namespace

void install_guard() {
  struct sigaction action {};
  action.sa_sigaction = &on_stopped_call;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  if (::sigaction(SIGSYS, &action, nullptr) != 0) std::abort();

  std::array<sock_filter, kForbidden.size() + 7> filter{};
  std::size_t n = 0;
  filter[n++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
  for (std::size_t i = 0; i < kForbidden.size(); ++i) {
    filter[n++] =
        jump(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::size_t>(kForbidden[i]), static_cast<int>(kForbidden.size() - i + 4), 0);
  }
  filter[n++] = jump(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 1, 0);
  filter[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  filter[n++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args) + 5 * sizeof(__u64));
  filter[n++] = jump(BPF_JMP | BPF_JEQ | BPF_K, kOurs, 0, 1);
  filter[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  filter[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
  const sock_fprog program{static_cast<unsigned short>(n), filter.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0) {
    std::perror("seccomp");
    std::abort();
  }
}

void allow_only(const char* path) { static_cast<void>(std::snprintf(allowed.data(), allowed.size(), "%s", path)); }

int forbidden_calls() { return forbidden.exchange(0); }

std::size_t data_bytes() {
  static const int file =
      static_cast<int>(::syscall(SYS_openat, AT_FDCWD, "/proc/self/statm", O_RDONLY | O_CLOEXEC, 0, 0, kOurs));
  std::array<char, 256> text{};
  if (::pread(file, text.data(), text.size() - 1, 0) <= 0) return 0;
  std::array<unsigned long, 6> pages{};
  if (std::sscanf(text.data(), "%lu %lu %lu %lu %lu %lu", &pages[0], &pages[1], &pages[2], &pages[3], &pages[4], &pages[5]) != 6)
    return 0;
  return pages[5] * static_cast<std::size_t>(::getpagesize());
}

void limit_growth(std::size_t bytes) {
  rlimit limit{};
  static_cast<void>(::getrlimit(RLIMIT_DATA, &limit));
  limit.rlim_cur = data_bytes() + bytes;
  static_cast<void>(::setrlimit(RLIMIT_DATA, &limit));
}

void lift_limit() {
  rlimit limit{};
  static_cast<void>(::getrlimit(RLIMIT_DATA, &limit));
  limit.rlim_cur = limit.rlim_max;
  static_cast<void>(::setrlimit(RLIMIT_DATA, &limit));
}

}  // namespace lamella::malformed
