using Spectre.Console;

namespace Librarian.Cli.Output;

/// <summary>The output of a command. Scripts get plain lines; only a real terminal gets colours and progress bars.</summary>
/// <param name="Out">Results.</param>
/// <param name="Error">Messages and progress.</param>
/// <param name="Console">Results with style; without escape sequences if <paramref name="Out"/> is not a terminal.</param>
/// <param name="Progress">Progress on the error stream.</param>
/// <param name="Environment">Environment variables, by name.</param>
public sealed record Terminal(
    TextWriter Out,
    TextWriter Error,
    IAnsiConsole Console,
    IAnsiConsole Progress,
    Func<string, string?> Environment
)
{
    // Wide enough that no line is wrapped in a pipe: grep sees a wrapped line as two lines.
    private const int PipeWidth = 10_000;

    /// <summary>The process's own streams.</summary>
    /// <returns>A terminal.</returns>
    public static Terminal Standard() =>
        new(
            System.Console.Out,
            System.Console.Error,
            Create(System.Console.Out, System.Console.IsOutputRedirected),
            Create(System.Console.Error, System.Console.IsErrorRedirected),
            System.Environment.GetEnvironmentVariable
        );

    /// <summary>Streams that are not a terminal.</summary>
    /// <param name="output">Results.</param>
    /// <param name="error">Messages.</param>
    /// <param name="environment">Environment variables, by name.</param>
    /// <returns>A terminal.</returns>
    public static Terminal Piped(TextWriter output, TextWriter error, Func<string, string?> environment) =>
        new(output, error, Create(output, redirected: true), Create(error, redirected: true), environment);

    /// <summary>Reports a failure in the form that scripts and people expect.</summary>
    /// <param name="message">What happened, which data are safe, and what to do next.</param>
    /// <returns>The exit code for failures.</returns>
    public int Fail(string message)
    {
        Error.WriteLine("error: " + message.Shown());
        return ExitCodes.Failure;
    }

    private static IAnsiConsole Create(TextWriter writer, bool redirected)
    {
        var console = AnsiConsole.Create(
            new AnsiConsoleSettings
            {
                Ansi = redirected ? AnsiSupport.No : AnsiSupport.Detect,
                ColorSystem = redirected ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
                Interactive = redirected ? InteractionSupport.No : InteractionSupport.Detect,
                Out = new AnsiConsoleOutput(writer),
            }
        );
        if (redirected)
            console.Profile.Width = PipeWidth;
        return console;
    }
}
