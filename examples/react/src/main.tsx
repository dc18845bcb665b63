import { ApolloProvider } from "@apollo/client/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { makeClient } from "./client";
import "./styles.css";
import { UsersPage } from "./UsersPage";
import { idsOf } from "./userIds";

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no element with the id `root`");

createRoot(root).render(
  <StrictMode>
    <ApolloProvider client={makeClient()}>
      <UsersPage ids={idsOf(window.location)} />
    </ApolloProvider>
  </StrictMode>,
);
