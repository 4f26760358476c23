#include "check.hpp"

int main() {
    for (const auto & [name, body] : check::tests()) {
        const int before = check::failures();
        body();
        std::cout << (check::failures() == before ? "ok   " : "FAIL ") << name << "\n";
    }
    std::cout << check::tests().size() << " tests, " << check::failures() << " failed checks\n";
    return check::failures() == 0 ? 0 : 1;
}
