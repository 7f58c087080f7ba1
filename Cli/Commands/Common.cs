using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Librarian.Client;

namespace Librarian.Cli.Commands;

/// <summary>Arguments and answers that several commands share.</summary>
internal static class Common
{
    /// <summary>The connection's name, always the first argument.</summary>
    internal static Argument<string> Connection() => new("CONN") { Description = "Name of a configured connection." };

    /// <summary>The switch of commands that can answer a program.</summary>
    internal static Option<bool> Json() => new("--json") { Description = "Print the answer as one line of JSON." };

    /// <summary>Prints a value as one line of JSON.</summary>
    internal static int PrintJson<T>(this Terminal terminal, T value, JsonTypeInfo<T> info)
    {
        terminal.Out.WriteLine(JsonSerializer.Serialize(value, info));
        return ExitCodes.Success;
    }

    /// <summary>Reports why a call has no value, and that nothing was lost by it.</summary>
    internal static int Fail(this Terminal terminal, ReplyError error) => terminal.Fail(Readable.Printable(error switch
    {
        Unreachable => $"{error} Nothing was changed here; check the address and whether the site runs, then try again.",
        Garbled => $"{error} Check that the address is a librarian's, and the versions on both sides.",
        Refused { Status: 401 } => $"{error} Check the user name and password of the connection, and whether the account may do this.",
        _ => error.ToString(),
    }));
}
