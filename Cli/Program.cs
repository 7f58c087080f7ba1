using Librarian.Cli;

return await CommandLine.RunAsync(args, Terminal.Standard(), CancellationToken.None);
