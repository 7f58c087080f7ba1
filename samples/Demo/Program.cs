using Librarian.Cli;
using Librarian.Cli.Output;
using Librarian.Samples.Demo;

var arguments = ProcessArguments.Exact(args, static () => File.ReadAllBytes("/proc/self/cmdline"));
var terminal = Terminal.Standard();
return await CommandLine.RunAsync(new DemoCommand(terminal).Build(), arguments, terminal, CancellationToken.None);
