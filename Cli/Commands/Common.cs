using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Librarian.Cli.Output;
using Librarian.Client;

namespace Librarian.Cli.Commands;

/// <summary>Arguments and output that several commands share.</summary>
internal static class Common
{
    /// <summary>The connection's name, always the first argument.</summary>
    internal static Argument<string> Connection() => new("CONN") { Description = "Name of a configured connection." };

    /// <summary>The path of a file or folder on this host. It may contain any bytes, unlike arguments that go to a site.</summary>
    internal static Argument<string> LocalPath(string name, string description) =>
        new LocalPathArgument(name) { Description = description };

    /// <summary>The first argument that cannot be sent to a site, because it is not valid UTF-8; null if there is none.</summary>
    internal static string? NotUnicode(ParseResult parsed) =>
        parsed
            .CommandResult.Children.Where(static child => child is not ArgumentResult { Argument: LocalPathArgument })
            .SelectMany(static child => child.Tokens)
            .Select(static token => token.Value)
            .FirstOrDefault(static value => !PathBytes.IsUnicode(value));

    /// <summary>The switch of commands that can write output for programs.</summary>
    internal static Option<bool> Json() => new("--json") { Description = "Print the answer as one line of JSON." };

    /// <summary>Prints a value as one line of JSON.</summary>
    internal static int PrintJson<T>(this Terminal terminal, T value, JsonTypeInfo<T> info)
    {
        terminal.Out.WriteLine(JsonSerializer.Serialize(value, info));
        return ExitCodes.Success;
    }

    /// <summary>Reports why a call failed, and that no data was lost.</summary>
    internal static int Fail(this Terminal terminal, ReplyError error) =>
        terminal.Fail(
            Readable.Printable(
                error switch
                {
                    Unreachable => $"{error} Nothing was changed here; check the address and whether the site runs, then try again.",
                    Malformed => $"{error} Check that the address is a librarian's, and the versions on both sides.",
                    Refused { Status: 401 } =>
                        $"{error} Check the user name and password of the connection, and whether the account may do this.",
                    _ => error.ToString(),
                }
            )
        );

    private sealed class LocalPathArgument(string name) : Argument<string>(name);
}
