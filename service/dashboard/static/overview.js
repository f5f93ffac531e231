import { follow } from "./live.js";

follow(5);
