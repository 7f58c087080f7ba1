using Librarian.Cli;
using Librarian.Cli.Output;

var arguments = ProcessArguments.Exact(args, static () => File.ReadAllBytes("/proc/self/cmdline"));
return await CommandLine.RunAsync(arguments, Terminal.Standard(), CancellationToken.None);
