#include "parse.h"

int main(int argc, char** argv) { return pelton::ParseAndRun(argc, argv); }
