// SPDX-License-Identifier: Apache-2.0
// Loads every file of a corpus: malformed_runner CORPUS [--limit-ms N] [--batch N] [--no-memory-limit] [--in-process]
// Worker processes load the files one after another; a crash or hang affects only the file in which it happens. Each file must be
// refused with the right code and words, or load and answer exactly, without a crash, access to other files, or more memory than
// promised.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <lamella/model.hpp>
#include <map>
#include <string>
#include <utility>

#include "malformed/corpus.hpp"
#include "malformed/guard.hpp"

namespace lamella::malformed {
namespace {

constexpr int kHangSeconds = 60;  // processor time after which a worker is stopped
constexpr std::size_t kMemory = std::size_t{256} << 20U;
constexpr std::size_t kMemoryPerByte = 24;

struct Arguments {
  std::string corpus;
  double limit_ms = 0;
  std::size_t batch = 1000;
  bool memory_limit = true;
  bool in_process = false;
};

/// The workers' results, in memory shared with them.
struct Board {
  std::size_t at;  ///< the case being loaded
  std::size_t accepted;
  std::size_t refused;
  std::size_t failed;
  double slowest_ms;
  char slowest[64];
};

double processor_ms() {
  timespec now{};
  static_cast<void>(::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now));
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

/// The file under test: in memory, with a name that messages must contain.
class Subject {
 public:
  Subject() : file_(::memfd_create("subject", MFD_CLOEXEC)), path_("/proc/self/fd/" + std::to_string(file_)) {}
  void write(const std::string& bytes) const {
    if (::ftruncate(file_, 0) != 0 || ::pwrite(file_, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
      std::abort();
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  int file_;
  std::string path_;
};

struct Outcome {
  bool loaded = false;
  std::string why;  ///< what is wrong; empty if nothing is
};

bool code_fits(const Case& item, std::string_view code) {
  return item.codes.empty() || ("|" + item.codes + "|").find("|" + std::string(code) + "|") != std::string::npos;
}

std::string judge_message(const Case& item, const Error& error, const std::string& path) {
  const std::string what = error.what();
  if (item.verdict == Verdict::accepted) return "refused: " + what;
  if (error.code() == ErrorCode::internal) return "blames itself: " + what;
  if (!code_fits(item, to_string(error.code()))) return "expected " + item.codes + ": " + what;
  if (what.find(path) == std::string::npos) return "does not name the file: " + what;
  for (const std::string& word : item.words) {
    if (what.find(word) == std::string::npos) return "does not say '" + word + "': " + what;
  }
  const bool clean =
      std::all_of(what.begin(), what.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7F; });
  return clean && what.size() < 8192 ? "" : "a message of control bytes or without end";
}

std::string judge_answer(const Case& item, const Model& model) {
  const Tensor y = model.predict(TensorView(std::span<const float>(item.x.values), Shape{item.x.rows, item.x.columns}));
  if (y.shape() != Shape{item.y.rows, item.y.columns}) return "answers with shape " + to_string(y.shape());
  const auto values = y.span<float>();
  return std::equal(values.begin(), values.end(), item.y.values.begin()) ? "" : "answers other numbers";
}

Outcome load(const Case& item, const std::string& path) {
  try {
    const Model model = Model::load(path, {.device = Device::cpu(), .threads = 1});
    if (item.verdict == Verdict::refused) return {true, "was loaded"};
    return {true, item.verdict == Verdict::accepted ? judge_answer(item, model) : ""};
  } catch (const LoadError& error) {
    return {false, judge_message(item, error, path)};
  } catch (const std::bad_alloc&) {
    return {false, "asks for more memory than is promised"};
  } catch (const std::exception& error) {
    return {false, std::string("throws something else: ") + error.what()};
  }
}

void report(std::size_t index, const Case& item, const std::string& why) {
  std::printf("FAILED %zu [%s] %.600s\n", index, item.family.c_str(), why.c_str());
  static_cast<void>(std::fflush(stdout));
}

void work(const Corpus& corpus, Board& board, std::size_t end, const Arguments& arguments) {
  const Subject subject;
  static_cast<void>(data_bytes());
  allow_only(subject.path().c_str());
  if (!arguments.in_process) install_guard();
  for (; board.at < end; ++board.at) {
    const Case item = corpus.read(board.at);
    subject.write(item.bytes);
    const itimerval hang{{0, 0}, {kHangSeconds, 0}};
    static_cast<void>(::setitimer(ITIMER_PROF, &hang, nullptr));
    if (arguments.memory_limit) limit_growth(kMemory + kMemoryPerByte * item.bytes.size());
    const double begin = processor_ms();
    Outcome outcome = load(item, subject.path());
    const double took = processor_ms() - begin;
    lift_limit();
    const int forbidden = forbidden_calls();
    if (outcome.why.empty() && forbidden != 0) outcome.why = "tried " + std::to_string(forbidden) + " forbidden calls";
    if (outcome.why.empty() && arguments.limit_ms > 0 && took > arguments.limit_ms)
      outcome.why = "took " + std::to_string(took) + " ms";
    if (took > board.slowest_ms) {
      board.slowest_ms = took;
      static_cast<void>(std::snprintf(board.slowest, sizeof board.slowest, "%s", item.family.c_str()));
    }
    if (!outcome.why.empty()) {
      report(board.at, item, outcome.why);
      ++board.failed;
    } else {
      ++(outcome.loaded ? board.accepted : board.refused);
    }
  }
}

/// Runs a worker on the cases from board.at on; returns whether it reached the end alive.
bool run_worker(const Corpus& corpus, Board& board, std::size_t end, const Arguments& arguments) {
  const pid_t child = ::fork();
  if (child < 0) std::abort();
  if (child == 0) {
    const rlimit none{0, 0};
    static_cast<void>(::setrlimit(RLIMIT_CORE, &none));
    work(corpus, board, end, arguments);
    static_cast<void>(std::fflush(stdout));
    ::_exit(0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  const bool killed = WIFSIGNALED(status);
  report(board.at, corpus.read(board.at),
         std::string(killed && WTERMSIG(status) == SIGPROF ? "hangs" : "crashes") + ", status " + std::to_string(status));
  ++board.failed;
  ++board.at;
  return false;
}

int run(const Arguments& arguments) {
  const Corpus corpus(arguments.corpus);
  void* shared = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return 2;
  Board& board = *new (shared) Board{};
  if (arguments.in_process) work(corpus, board, corpus.size(), arguments);
  while (board.at < corpus.size()) {
    static_cast<void>(run_worker(corpus, board, std::min(corpus.size(), board.at + arguments.batch), arguments));
  }
  std::printf("%zu refused, %zu loaded; slowest: %.1f ms [%s]\n", board.refused, board.accepted, board.slowest_ms, board.slowest);
  std::printf("%zu passed, %zu failed\n", board.refused + board.accepted, board.failed);
  return board.failed == 0 && board.refused > 0 && board.accepted > 0 ? 0 : 1;
}

}  // namespace
}  // namespace lamella::malformed

int main(int count, char** values) {
  lamella::malformed::Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string word = values[i];
    if (word == "--limit-ms" && i + 1 < count) {
      arguments.limit_ms = std::strtod(values[++i], nullptr);
    } else if (word == "--batch" && i + 1 < count) {
      arguments.batch = std::max<std::size_t>(1, std::strtoul(values[++i], nullptr, 10));
    } else if (word == "--no-memory-limit") {
      arguments.memory_limit = false;
    } else if (word == "--in-process") {  // for debuggers and coverage: without workers and guard
      arguments.in_process = true;
    } else {
      arguments.corpus = word;
    }
  }
  return lamella::malformed::run(arguments);
}
