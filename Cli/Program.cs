using Librarian.Cli;

var arguments = ProcessArguments.Exact(args, static () => File.ReadAllBytes("/proc/self/cmdline"));
return await CommandLine.RunAsync(arguments, Terminal.Standard(), CancellationToken.None);
